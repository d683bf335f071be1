"""Published files: the atlas page, pictures and exchange files, made from finished tables."""
