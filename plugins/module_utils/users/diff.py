def describe(a): return []
def compare(a,b): return None
