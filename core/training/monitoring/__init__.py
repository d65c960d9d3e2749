"""What is measured and watched while a model trains."""
