"""What the tests share: servers, apps of one task hub, waiting, histories, and a worker made by hand."""
