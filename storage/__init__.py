"""Database models, repositories, migrations and bar files."""
