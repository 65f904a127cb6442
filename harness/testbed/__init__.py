"""Where the tiers live: namespaces of this host, a board over ssh, somebody's Triton; the agent that runs on a device."""
