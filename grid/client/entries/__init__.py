"""What a map can do with its entries, as operations that know no sockets."""
