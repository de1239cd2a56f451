"""What tenants may take and what they took: limits, quotas, usage."""
