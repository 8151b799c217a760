"""The papers' training settings, a TOML file each."""
