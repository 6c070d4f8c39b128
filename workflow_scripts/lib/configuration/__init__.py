"""Configuration: one YAML file per thing, composed in one order and validated before any job starts."""
