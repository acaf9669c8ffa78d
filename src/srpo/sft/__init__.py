"""The cold start (stage 1b; paper section 3.2): supervised fine-tuning on reflection traces."""
