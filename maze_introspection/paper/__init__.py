"""The paper's experiments: what they are, running them, their numbers, and the document that reports them."""
