class NamedEntities:
    pass
