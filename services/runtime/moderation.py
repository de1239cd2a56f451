"""The categories of unwanted content: what classifiers score and policies name."""

TEXT_CATEGORIES = ("identity_hate", "insult", "obscene", "severe_toxic", "threat", "toxic")
"""What is said of text, those of the Jigsaw Toxic Comment Classification Challenge, 2018."""
PICTURE_CATEGORIES = ("sexual", "violence")
"""What is said of pictures; the offline kit has no classifier of violence."""
CATEGORIES = (*TEXT_CATEGORIES, *PICTURE_CATEGORIES)
