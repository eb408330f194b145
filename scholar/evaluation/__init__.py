"""How well `scholar` does on judged sets. Everything here runs on a throwaway library."""
