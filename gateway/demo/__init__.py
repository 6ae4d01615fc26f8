"""`gateway demo-peer`: the mini-program side of a call without a phone. A client of the server, not a part of it."""
