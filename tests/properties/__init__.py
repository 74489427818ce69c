"""What holds of every config, over all services: drawn configs, judged by real parts."""
