"""Training on few scans: augmentation and distillation against all scans."""
