"""The reward inside the trainers that people already have: one small module for each, with its own signature of today.

| module | trainer | how the trainer is told |
|---|---|---|
| `trl` | TRL 1.16, GRPOTrainer | `reward_funcs=trl_reward(..)` |
| `verl` | verl 0.9.1 | `reward.reward_manager.module.path=pkg://srpo.engines.verl`, and two lines more |
| `easyr1` | EasyR1 | `worker.reward.reward_function=FILE:easyr1_reward`; FILE imports it from here |
| `openrlhf` | OpenRLHF 0.11 | `--reward.remote_url FILE`; FILE has `reward_func = openrlhf_reward(..)` |
| `ms_swift` | ms-swift 4.6 | `--external_plugins FILE`; FILE puts `ms_swift_reward(..)` into `orms` |

`examples/` has a FILE for each. No trainer is imported here but by itself, and no torch. All numbers come from
`core.rewards.pay` (`payer.py`); what goes wrong is raised and names the problem, for an error that becomes a reward of
0 trains a policy for nothing.
"""
