"""`crossent score`: how good predictions are, whoever made them, read once from files of any size."""
