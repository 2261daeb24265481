"""Where neuronedit meets Ray, MLflow, Arrow and file formats; nothing else imports them."""
