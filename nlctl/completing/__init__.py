"""What a shell offers for a word that is being typed, where only the moment knows it.

Asked on each press of the key, so nothing here imports more than the interpreter has at hand.
"""
