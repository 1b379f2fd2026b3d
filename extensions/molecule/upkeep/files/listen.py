"""Takes webhooks at port 8080 and mail at port 8025 until it is ended; told.json beside it has what they say."""

import json
import time
from pathlib import Path

from receivers import http_receiver, mail_server

TOLD = Path(__file__).with_name("told.json")

with http_receiver(("", 8080)) as posted, mail_server(address=("", 8025)) as mailbox:
    while True:
        mails = [
            {"subject": str(message["Subject"]), "to": to, "text": message.get_content()}
            for message, to in zip(mailbox.messages, mailbox.recipients, strict=False)
        ]
        fresh = TOLD.with_suffix(".new")
        fresh.write_text(json.dumps({"posted": [body for _path, body in posted.requests], "mails": mails}))
        fresh.rename(TOLD)
        time.sleep(0.2)
