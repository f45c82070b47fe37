"""Mails to the user of a job that has failed or is held, for users who have chosen that."""
