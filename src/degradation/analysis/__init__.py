"""From records to statistics, claims, figures and reports; reads records alone and needs neither
torch nor wandb.
"""
