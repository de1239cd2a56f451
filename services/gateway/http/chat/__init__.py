"""Chat completions as OpenAI's API has them: a request becomes one turn of a conversation."""
