"""`python -m neo_cli` is the command `neo-cli`."""

from neo_cli.entry.main import main

if __name__ == "__main__":
    raise SystemExit(main())
