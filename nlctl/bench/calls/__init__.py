"""One kind of call a class. They spare themselves everything that is not the call, so that servers are measured."""
