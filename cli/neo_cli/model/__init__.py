"""The one Model that front ends return and back ends read: its graph, its inputs, its verification."""
