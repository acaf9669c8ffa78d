"""vLLM as the sampler of RL: a server in an environment of its own, which follows the policy that is trained here."""
