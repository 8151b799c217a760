from pathlib import Path


class Checkpoints:
    def __init__(self, folder, keep_last=3, keep_best=1, monitor="val_loss", mode="min"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def save(self, state, step, metrics=None):
        from minigrad.nn.serialize import save

        p = self.folder / f"step-{step:08d}.safetensors"
        save(state, p)
        return p

    def latest(self):
        from minigrad.nn.serialize import load

        f = sorted(self.folder.glob("*.safetensors"))
        return (f[-1], load(f[-1])) if f else None
