"""Where the tiers live: namespaces here, a board over ssh, somebody's Triton; the agent that runs on a device."""
