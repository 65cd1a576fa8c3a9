"""Labels of a data set, computed shard by shard into a folder or into tars."""
