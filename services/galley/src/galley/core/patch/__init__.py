"""The three patch languages of the config API. Pure: a document and a patch in, a new document out."""
