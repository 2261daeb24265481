"""What an edit does to cells, in plots that cytometrists know."""
