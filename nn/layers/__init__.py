"""The layers, one concept a file; `minigrad.nn` exports them."""
