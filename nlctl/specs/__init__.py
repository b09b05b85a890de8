"""What configs may say, told from the Specs themselves: the reference, the schema for editors, and two compared.

Law: nothing here repeats what a Spec says; types, defaults, zeroes and words are read from the classes.
"""
