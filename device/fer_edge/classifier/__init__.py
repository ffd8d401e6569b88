"""From a face's landmarks to logits: ``crop.py`` cuts it, ``runner.py`` (start here) runs the network."""
