"""Alembic migrations; `storage.schema.upgrade_schema` runs them."""
