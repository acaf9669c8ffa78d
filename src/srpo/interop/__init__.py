"""Other people's harnesses: lmms-eval runs our models, VLMEvalKit marks our predictions. Neither is needed."""
