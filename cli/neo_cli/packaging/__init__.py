"""Build -> artifact: laid out, hashed, packed; and the input archive unpacked."""
