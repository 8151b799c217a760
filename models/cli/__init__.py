"""The command `minigrad`."""


def main() -> None:
    """Run the command line."""
