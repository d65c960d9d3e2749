"""A submission to the BabyLM challenge: models, predictions and collated results of a job."""
