def detect(texts): raise NotImplementedError
