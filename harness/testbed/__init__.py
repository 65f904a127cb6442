"""Where the tiers live: local namespaces today; the agent that runs on a device."""
