"""What this machine's worker can do, as JSON on standard output: `python -m neo_cli.worker.probe`."""

from __future__ import annotations

import json

from neo_cli.worker.sandbox import probe


def main() -> None:
    tier = probe()
    print(json.dumps({"sandbox": tier.name, "passed_over": list(tier.passed_over)}))


if __name__ == "__main__":
    main()
