"""Translation to and from Ray, MLflow, Arrow and file formats; nothing else imports them."""
