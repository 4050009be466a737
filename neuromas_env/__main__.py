"""`python -m neuromas_env`, which launchers of several processes need; see `neuromas --help`."""

from neuromas_env.cli.app import main

if __name__ == "__main__":
    main()
