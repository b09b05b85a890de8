"""Remote assets: what content a URI stands for, where that is written down, and how it comes here from the network."""
