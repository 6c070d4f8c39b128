"""From a folder of videos and a sentence to moments: what is asked, whether it is fresh, and the answers in words."""
