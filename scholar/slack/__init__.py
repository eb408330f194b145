"""The Slack bot: what is said in Slack becomes runs, and what they publish becomes messages.

`front` takes what Slack sends, `bot` decides what becomes of it, `desk` runs it, `live` shows it in
one message, `blocks` says how answers look, `store` keeps what must outlive the process.
"""
