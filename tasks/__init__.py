"""Celery application, submission, execution and maintenance."""
