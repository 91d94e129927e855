"""Training: the loop (Lightning, extra ``train``) and what targets contribute to it."""
